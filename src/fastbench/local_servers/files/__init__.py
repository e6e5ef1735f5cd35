"""What runs inside the servers for trials: their Python imports these files, fastbench does not."""
