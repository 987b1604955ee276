-- One index per sort of the list of devices. Each ends in the id, which breaks ties, so that a page of any sort in either
-- direction begins with a search and reads no more rows than it shows.
DROP INDEX "devices_fleet_id_name_idx";
DROP INDEX "devices_fleet_id_last_seen_at_idx";
DROP INDEX "devices_fleet_id_tier_idx";
CREATE INDEX "devices_fleet_id_name_id_idx" ON "devices"("fleet_id", "name", "id");
CREATE INDEX "devices_fleet_id_tier_id_idx" ON "devices"("fleet_id", "tier", "id");
CREATE INDEX "devices_fleet_id_enrolled_at_id_idx" ON "devices"("fleet_id", "enrolled_at", "id");
-- A device that was never seen sorts before all others; rows with NULL could not be compared with a cursor.
CREATE INDEX "devices_by_last_seen" ON "devices"("fleet_id", coalesce("last_seen_at", '-infinity'::timestamptz), "id");
