//go:build race

package wsmanager_test

// underRace reports whether the race detector is enabled.
const underRace = true
