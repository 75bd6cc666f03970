package httpx

// OuterContextKey is the key of a request's context under which package pipeline has the
// context of the request outside of all its components that observe. Contexts that
// components derive may end later than that one, because some are cancelled in another
// goroutine.
type OuterContextKey struct{}

// AbandonedKey is the key of a value of pipeline.Response: true if the client had left when
// the response started with a status of 500 or above.
type AbandonedKey struct{}

// BodyTooSlowKey is the key of a value of pipeline.Response: true if pipeline.MinBodyRate has
// ended the body of the request. That cancels the request's context before the Read fails.
type BodyTooSlowKey struct{}
