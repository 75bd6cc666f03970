package httpx

// ConnectionTokenPrefix begins the connection tokens of hubs, which are secrets in queries. Logs redact values with it.
const ConnectionTokenPrefix = "stct_"
