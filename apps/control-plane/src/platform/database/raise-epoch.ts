import type { ClientBase } from 'pg';

/**
 * After a restore: makes what the database says newer than what devices have seen since the backup, and has every desired state
 * signed and sent again.
 *
 * A restored desired state may name an older release than the one that a device runs by now: it is marked as a step back, or the
 * device would refuse it. An execution that has ended is not named any more: it ends once.
 *
 * Events are read in the order of their transactions. A dump that was restored into another cluster brings numbers that this one has
 * not reached: all events then become the oldest, in their order, or they would be seen late and new ones be sorted before them.
 *
 * @returns the new epoch
 */
export async function raiseEpoch(client: ClientBase): Promise<number> {
  try {
    await client.query('BEGIN');
    const { rows } = await client.query<{ epoch: number }>('UPDATE instance SET epoch = epoch + 1 RETURNING epoch');
    await client.query(`
      UPDATE twins SET epoch = (SELECT epoch FROM instance), updated_at = now(), desired = jsonb_set(desired, '{pipelines}', (
        SELECT coalesce(jsonb_object_agg(name, pipeline || jsonb_build_object('rollback', true, 'execution', e.id)), '{}')
          FROM jsonb_each(desired -> 'pipelines') AS p(name, pipeline)
          LEFT JOIN executions e
            ON e.fleet_id = twins.fleet_id AND e.id = pipeline ->> 'execution' AND e.status IN ('QUEUED', 'IN_PROGRESS')))`);
    await client.query(`
      INSERT INTO device_outbox (fleet_id, device_id, kind) SELECT fleet_id, id, 'desired' FROM devices WHERE state = 'active'`);
    await client.query(`
      UPDATE events SET tx = '3' WHERE EXISTS (SELECT FROM events WHERE tx > pg_current_xact_id())`);
    await client.query('COMMIT');
    return rows[0]!.epoch;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
