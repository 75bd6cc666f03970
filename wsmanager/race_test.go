//go:build race

package wsmanager_test

// underRace says that the race detector watches.
const underRace = true
