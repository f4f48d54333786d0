"""How far a run is: told, kept, shown, served. Knows no stage; importing it imports nothing else."""
