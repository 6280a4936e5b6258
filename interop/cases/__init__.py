"""The cases, one theme per file; `interop/run` loads them in the order of their names."""
