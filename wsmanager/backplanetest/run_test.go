package backplanetest

import (
	"testing"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

func TestLocalBus(t *testing.T) {
	Run(t, func(testing.TB) Bus {
		bus := &wsmanager.LocalBus{}
		return Bus{Node: func() wsmanager.Backplane { return bus }}
	})
}
