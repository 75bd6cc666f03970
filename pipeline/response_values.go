package pipeline

import "github.com/speakingtube/speakingtube/internal/httpx"

// SetValue stores val under key for the life of the response. Unlike a value in the
// request's context, the components above see it too, for example a log that reports a
// result of a component below. As with context.WithValue the key should have a type of the
// caller's own.
func (res *Response) SetValue(key, val any) {
	res.mu.Lock()
	defer res.mu.Unlock()
	for i := range res.values {
		if v := &res.values[i]; v.key == key {
			v.val = val
			return
		}
	}
	res.values = append(res.values, value{key, val})
}

// Value returns the value stored under key with SetValue, or nil.
func (res *Response) Value(key any) any {
	res.mu.Lock()
	defer res.mu.Unlock()
	if key == (httpx.AbandonedKey{}) {
		return res.abandoned
	}
	for i := range res.values {
		if v := &res.values[i]; v.key == key {
			return v.val
		}
	}
	return nil
}
