package frame

// For tests in package frame_test, which use package frametest.
var (
	ParseHeader         = parseHeader
	ErrLengthNotMinimal = errLengthNotMinimal
)
