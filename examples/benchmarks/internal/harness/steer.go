package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Ask asks a child something at target, "host:port/path", by HTTP, and reads the
// answer that [Answer] has written. It leaves no connection behind, which the child
// would count.
func Ask(ctx context.Context, target string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target, nil)
	if err != nil {
		return err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // as far as it says why
		return fmt.Errorf("harness: the child answers %s to %s: %s", res.Status, req.URL.Path, text)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// Answer answers Ask.
func Answer(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // the parent reads, or is gone
}
