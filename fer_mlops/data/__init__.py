"""Face tables: readers of data sets, image cache, splits, duplicates, data quality."""
