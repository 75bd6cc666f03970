package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline/pipelinetest"
)

// Whatever is compared does its work.
func TestCandidatesAnswer(t *testing.T) {
	for _, c := range candidates() {
		t.Run(c.name, func(t *testing.T) {
			w := pipelinetest.NewHTTP1()
			c.handler.ServeHTTP(w, request())
			require.Equal(t, 200, w.Status())
			require.EqualValues(t, 5, w.BytesWritten())
			if c.group == "full" {
				require.Regexp(t, `^\d+ms$`, w.Header().Get("X-Response-Time"))
			}
		})
	}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-rounds", "2", "-burst", "10"}, &out))
	for _, c := range candidates() {
		require.Contains(t, out.String(), c.name)
	}
	require.Error(t, run(t.Context(), []string{"-rounds", "0"}, &out))
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}
