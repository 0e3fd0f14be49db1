"""Reports about a shift, a week or any span: what each camera saw, as a page to print and as files for evidence."""
