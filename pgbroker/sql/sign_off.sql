-- A worker process ends and holds nothing any more. Called by Lifeline.
delete from pgbroker.processes where process_id = %(process_id)s::uuid
