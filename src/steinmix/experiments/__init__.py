"""What the papers did, run again: one file a study."""
