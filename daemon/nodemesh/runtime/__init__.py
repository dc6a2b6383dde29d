"""How are the parts driven?"""
