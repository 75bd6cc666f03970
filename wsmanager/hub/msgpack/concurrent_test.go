package msgpack_test

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

// tree and branch contain each other.
type tree struct {
	Name     string
	Branches []*branch
}

type branch struct {
	Trees map[string]tree
	Other any
}

// Values of types that a protocol has not seen before are encoded and decoded at the same time.
func TestFirstUseOfTypes(t *testing.T) {
	value := tree{"a", []*branch{{Trees: map[string]tree{"b": {Name: "c"}}, Other: "d"}, nil}}
	for range 20 {
		p := msgpack.New(msgpack.Options{})
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for range cap(errs) {
			wg.Go(func() {
				raw, err := p.Encode(value)
				if err != nil {
					errs <- err
					return
				}
				var got tree
				if err := p.Decode(raw, &got); err != nil {
					errs <- err
				} else if !reflect.DeepEqual(value, got) {
					errs <- fmt.Errorf("%v is not %v", got, value)
				}
			})
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
	}
}
