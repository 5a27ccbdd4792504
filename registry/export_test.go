package registry

// SmallBatches makes every ingest take many transactions.
func SmallBatches() { batchKeys, batchBytes = 5, 1<<14 }
