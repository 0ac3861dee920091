package storename

// machineStore: berth does not run here.
func machineStore(string, uint32) (string, error) { return "", nil }
