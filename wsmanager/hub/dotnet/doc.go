// Package dotnet has types for parameters, results and fields of hub methods that clients in .NET declare with a type for
// which Go has none. Their encodings are those of ASP.NET Core in both protocols, and a value in another form is an error.
//
// # Types
//
//	.NET                   Go                           JSON                        MessagePack
//	TimeSpan               dotnet.TimeSpan              text "1.02:03:04.0050000"   ticks of 100 ns
//	DateTime               dotnet.DateTime, time.Time   text, RFC 3339              timestamp
//	DateTimeOffset         dotnet.DateTimeOffset        text with its offset        timestamp and minutes
//	DateOnly               dotnet.DateOnly              text "2023-11-14"           day number
//	TimeOnly               dotnet.TimeOnly              text "22:13:20.1230000"     ticks of 100 ns
//	decimal                dotnet.Decimal               number with all its digits  text
//	enum                   dotnet.Enum                  number                      text, the name
//	Dictionary<enum,T>     map[dotnet.EnumKey]T         {"Green":…}                 texts as keys
//	Dictionary<bool,T>     map[dotnet.BoolKey]T         {"True":…}                  boolean keys
//	Dictionary<DateTime,T> map[dotnet.DateTime]T        {"2023-11-14T22:13:20Z":…}  timestamps as keys
//
// Other types of .NET have types in Go: a Guid is any type with MarshalText and UnmarshalText that writes its 36 characters, a
// byte[] is a []byte, a DateTime that is always UTC is a time.Time, a long is an int64. A time.Duration is not a TimeSpan:
// hubs refuse it, because its nanoseconds would be read as ticks.
//
// JavaScript clients get the same values: a TimeSpan is a text in JSON and a number in MessagePack. They cannot read maps with
// boolean keys or timestamps as keys in MessagePack; such a message ends the connection of the JavaScript client.
//
// # Zero values
//
// The zero value of each type is the default value of the .NET type. null is not a value of these types: for a parameter it is
// an error, and for a field it leaves the zero value, as encoding/json does for numbers. Use a pointer for a nullable type.
//
// # Concurrency and failure
//
// All types are values and safe to copy. Errors of decoding describe the expected form and quote a short input.
package dotnet
