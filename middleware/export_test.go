package middleware

// IsOnlyName is what StaticFiles asks of names, for either family of systems.
var IsOnlyName = isOnlyName
