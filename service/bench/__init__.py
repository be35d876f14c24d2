"""`wakeful bench`: how fast it is here, each figure beside a baseline of the same run."""
