def description(**k): return {}
