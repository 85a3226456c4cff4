"""The capture device: enrols, identifies, keeps samples and learns."""
