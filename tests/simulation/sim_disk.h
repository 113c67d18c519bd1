/* Planted bugs of code that uses a disk, made by a disk that pretends to have done what it did not.
 * All disks that are made to lie are of one kind (faulty_disk.h). */
#ifndef WAYBILL_SIM_DISK_H
#define WAYBILL_SIM_DISK_H

#include "common/base/disk.h"

/* Flushing a file does nothing. */
void sim_disk_plant_lying_sync(struct disk *disk);
/* Flushing a directory does nothing. */
void sim_disk_plant_lying_names(struct disk *disk);

#endif
