package middleware_test

import (
	"testing"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) } // no goroutine may be left
