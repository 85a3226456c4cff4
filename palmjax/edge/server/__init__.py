"""Label and model server: FastAPI over SQLite or PostgreSQL."""
