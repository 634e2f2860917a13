"""From text to batches: corpora, the token store, instances, corruption, packing."""
