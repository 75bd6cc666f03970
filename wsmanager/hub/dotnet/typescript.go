package dotnet

// The methods TypeScript return the types that values have in JavaScript, for hub.TypeScript.

// TypeScript returns the types in JavaScript.
func (TimeSpan) TypeScript() (inJSON, inMessagePack string) { return "string", "number" }

// TypeScript returns the types in JavaScript.
func (DateTime) TypeScript() (inJSON, inMessagePack string) { return "string", "Date" }

// TypeScript returns the types in JavaScript.
func (DateTimeOffset) TypeScript() (inJSON, inMessagePack string) { return "string", "[Date, number]" }

// TypeScript returns the types in JavaScript.
func (DateOnly) TypeScript() (inJSON, inMessagePack string) { return "string", "number" }

// TypeScript returns the types in JavaScript.
func (TimeOnly) TypeScript() (inJSON, inMessagePack string) { return "string", "number" }

// TypeScript returns the types in JavaScript.
func (Decimal) TypeScript() (inJSON, inMessagePack string) { return "number", "string" }

// TypeScript returns the types in JavaScript.
func (Enum[T]) TypeScript() (inJSON, inMessagePack string) { return "number", "string" }

// TypeScript returns the types in JavaScript, which has no boolean keys.
func (BoolKey) TypeScript() (inJSON, inMessagePack string) { return "string", "boolean" }
