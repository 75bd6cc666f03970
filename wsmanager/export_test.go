package wsmanager

// SetAutoDriver chooses what DriverAuto means from now on.
func SetAutoDriver(d Driver) { autoDriver = d }
