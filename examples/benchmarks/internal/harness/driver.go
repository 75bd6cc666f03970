package harness

import (
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Driver is a flag's value: a driver by its name.
type Driver struct{ wsmanager.Driver }

// Set implements flag.Value.
func (d *Driver) Set(name string) error {
	for _, known := range []wsmanager.Driver{wsmanager.DriverAuto, wsmanager.DriverGoroutine, wsmanager.DriverEventLoop} {
		if known.String() == name {
			d.Driver = known
			return nil
		}
	}
	return fmt.Errorf("there is no driver %q: auto, goroutine or eventloop", name)
}
