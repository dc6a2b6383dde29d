"""How does the mesh meet the world?"""
