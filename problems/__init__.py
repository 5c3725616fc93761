"""The catalogue: one file per PDE, named like its problem and imported when that is loaded."""
