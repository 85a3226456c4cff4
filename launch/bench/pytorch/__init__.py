"""The same networks in PyTorch, which is no requirement of palmjax."""
