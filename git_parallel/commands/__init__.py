"""One verb a file: options, one call into the core, one rendering."""
