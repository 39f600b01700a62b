// Package text has two jobs. It writes numbers, paragraphs and tables for people
// (Count, Share, Wrap, Table), and it makes text that others chose, such as names
// that clients sent, harmless for terminals and pages (Printable, Name).
package text
