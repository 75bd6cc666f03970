package wsmanager

// SetAutoDriver chooses what DriverAuto means from now on, for servers and clients.
func SetAutoDriver(d Driver) { autoDriver, autoDialDriver = d, d }
