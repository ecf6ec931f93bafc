"""The papers' tables, run by run: one JSON line under ``results/`` for each row and seed."""
