package main

// exceptions allow what is beyond a limit for a good reason.
var exceptions = []exception{
	{unusedExport, "pkg/config.Config.*", "each setting is a field of Config"},
	{unusedExport, "pkg/price.*", "prices are data: each has its name, its tiers and its source"},
}
