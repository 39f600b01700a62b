package main

// exceptions allow what is beyond a limit for a good reason.
var exceptions = []exception{
	{complexFunction, "pkg/clienthello.ClientHello.parseExtension", "a table: one case for each TLS extension"},
	{longFunction, "pkg/clienthello.ClientHello.parseExtension", "a table: one case for each TLS extension"},
	{complexFunction, "pkg/clienthello.connection.note", "a table: one case for each note on an outcome"},

	{unusedExport, "pkg/clienthello.Alert.*", "an alert is decoded as a whole, RFC 8446, Section 6"},
	{unusedExport, "pkg/clienthello.ClientHello.*", "a ClientHello is decoded as a whole, RFC 8446, Section 4.1.2"},
	{unusedExport, "pkg/clienthello.Extension.*", "an extension is decoded as a whole, RFC 8446, Section 4.2"},
	{unusedExport, "pkg/config.Config.*", "each setting is a field of Config"},
	{unusedExport, "pkg/price.*", "prices are data: each has its name, its tiers and its source"},
}
