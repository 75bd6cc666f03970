package extendedconnect_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
)

// The package works while a process starts, so each row starts one.
func TestProcess(t *testing.T) {
	const env = "SPEAKINGTUBE_TEST_PROCESS"
	if os.Getenv(env) != "" {
		fmt.Printf("GODEBUG=%q check=%v\n", os.Getenv("GODEBUG"), extendedconnect.Check() == nil)
		os.Exit(0)
	}
	for _, tt := range []struct{ name, godebug, want string }{
		{"nothing set", "unset", `GODEBUG="" check=true`},
		{"empty", "", `GODEBUG="" check=true`},
		{"another setting stays", "http2debug=0", `GODEBUG="http2debug=0" check=true`},
		{"on already", "http2xconnect=1,madvdontneed=1", `GODEBUG="http2xconnect=1,madvdontneed=1" check=true`},
		{"kept off from outside", "http2xconnect=0", `GODEBUG="http2xconnect=0" check=false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcess$")
			for _, v := range os.Environ() {
				if len(v) < 8 || v[:8] != "GODEBUG=" {
					cmd.Env = append(cmd.Env, v)
				}
			}
			cmd.Env = append(cmd.Env, env+"=1")
			if tt.godebug != "unset" {
				cmd.Env = append(cmd.Env, "GODEBUG="+tt.godebug)
			}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, tt.want+"\n", string(out))
		})
	}
}

func TestCheck(t *testing.T) {
	require.NoError(t, extendedconnect.Check())
	require.NoError(t, extendedconnect.Check())
}
