"""Which unbounded cache does the evidence point at, and how is it bounded?

site -> function -> the dict or cached function that keeps what the site allocated -> is it really a cache?
-> splice. It bounds one cache, never sweeps, and refuses with a reason whatever might hold state.
"""
