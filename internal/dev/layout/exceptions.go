package main

// exceptions are what is over a limit, each with its reason.
var exceptions []exception
