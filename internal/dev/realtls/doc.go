// Package realtls has only tests, which let real TLS programs negotiate: they compare
// what package tlsclient knows of programs with what the installed ones send, and
// verdicts on ClientHellos with what real servers answer.
package realtls
