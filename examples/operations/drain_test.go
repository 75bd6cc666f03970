//go:build unix

package operations_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// The process manager waits for longer than a drain takes.
func TestKillersWaitForTheDrain(t *testing.T) {
	seconds := func(file, pattern string) time.Duration {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		require.NotNil(t, m, "%s has no %s", file, pattern)
		n, err := strconv.Atoi(string(m[1]))
		require.NoError(t, err)
		return time.Duration(n) * time.Second
	}
	const spare = 5 * time.Second
	require.GreaterOrEqual(t, seconds("chat.service", `(?m)^TimeoutStopSec=(\d+)$`), pipeline.DrainTimeout+spare)
	preStop := seconds("kubernetes.yaml", `sleep:\s+seconds: (\d+)`)
	require.GreaterOrEqual(t, seconds("kubernetes.yaml", `terminationGracePeriodSeconds: (\d+)`), preStop+pipeline.DrainTimeout+spare)
}
