package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

// The official client for Java uses the hub. Its library for MessagePack is one of ours:
// see Packed.java.
func TestJava(t *testing.T) {
	dir := filepath.Join("testdata", "java")
	java, javac := exampletest.Find(t, "java", "default-jdk-headless"), exampletest.Find(t, "javac", "default-jdk-headless")
	jars, err := filepath.Glob(filepath.Join(dir, "target", "lib", "signalr-*.jar"))
	require.NoError(t, err)
	if len(jars) == 0 {
		exampletest.Missing(t, "the client is not installed: run mvn dependency:copy-dependencies in "+dir)
	}
	sources, err := filepath.Glob(filepath.Join(dir, "src", "main", "java", "*.java"))
	require.NoError(t, err)
	libraries := filepath.Join(dir, "target", "lib", "*")
	classes := t.TempDir()
	args := append([]string{"--release", "11", "-Xlint:all,-processing", "-Werror", "-cp", libraries, "-d", classes}, sources...)
	out, err := exec.CommandContext(t.Context(), javac, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, protocol := range []string{"json", "messagepack"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel() // they wait part of the time
			cmd := exec.CommandContext(t.Context(), java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
				"-cp", classes+string(filepath.ListSeparator)+libraries, "Suite", serveTestHubs(t), protocol)
			results := runSuite(t, cmd)
			for _, r := range results {
				t.Run(r.Name, func(t *testing.T) {
					if r.Error != "" {
						t.Error(r.Error)
					}
				})
			}
			require.GreaterOrEqual(t, len(results), 41) // a suite that ends early has fewer
		})
	}
}
