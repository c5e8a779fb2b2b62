"""The command line: one file a command. It parses, calls the library, renders; nothing else prints or exits."""
