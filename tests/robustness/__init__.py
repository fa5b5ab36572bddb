"""What must not break the pipeline: files of any bytes, calls that fail, full disks, too little memory, great sizes."""
