"""What is on record of convolutions on real GPUs: MIOpen's own find-db, read and written."""
