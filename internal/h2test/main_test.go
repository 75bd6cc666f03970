package h2test_test

import (
	"testing"

	_ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }
