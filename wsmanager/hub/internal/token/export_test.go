package token

// Remembered returns how many used tokens a Record remembers.
func Remembered[C any](r *Record[C]) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.used)
}
