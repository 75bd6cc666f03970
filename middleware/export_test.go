package middleware

// IsUnambiguousName is StaticFiles' check of names, for both families of systems.
var IsUnambiguousName = isUnambiguousName
